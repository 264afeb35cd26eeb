"""Four eyes: what one admin asks for, and another one approves or declines.

Owns: when a second person is needed, and the decider of requests.
Keeps: nobody decides about their own request, a request is decided once, and in time.
Does not: move credits; what was approved is carried out by `command_api/money`.
"""
