"""Hosts projections and process managers on Kafka.

Charter: agents that hand batches of the log to the same runner as the follower does. This room
is still empty; the follower in `projections` hosts every projection there is.
"""
