"""What a scrape collects besides the applications' own series."""
