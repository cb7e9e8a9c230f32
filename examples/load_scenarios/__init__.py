"""Load on the demo: people who ask questions, as many as a scenario says, and a report of how they fared."""
