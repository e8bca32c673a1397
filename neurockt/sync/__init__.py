"""Runs to Weights & Biases: each row exactly once, and nothing believed that the server does not show.

``upload`` takes one run, ``batch`` many, ``live`` one that is being written. ``rows`` says in which order rows go,
``system`` does so for samples of the machine, ``client`` speaks to the server, ``ledger`` remembers what was proved.
"""
