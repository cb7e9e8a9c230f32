"""What recording and scraping cost, beside other ways of doing the same: ``python -m benchmarks``.

Prints figures of one run on one machine and which targets they meet; asserts nothing. Needs the ``dev`` extra.
"""
