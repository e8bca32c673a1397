"""Runs to Weights & Biases: each row exactly once, and nothing counts as sent that the server does not show.

``batch`` syncs many runs, ``live`` one that is being written, ``upload`` one run once. ``rows`` gives the lines
in their order, ``sending`` sends them and asks for proof, ``ledger`` remembers it, ``marks`` show who sends.
``client`` is the connection to a server, ``project`` one project there.
"""
