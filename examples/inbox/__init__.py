"""A local stand-in for Slack, PagerDuty and a mail server that shows what it was sent as people would see it.

Needs aiosmtpd, markdown-it-py and Starlette; knows nothing of the rest of this repository.
"""
