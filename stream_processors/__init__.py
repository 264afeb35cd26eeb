"""Hosts the projections on Kafka: a Faust app whose agent takes whole batches.

Owns: the Faust app, the consumer that hands records on in batches, the host that gives each
batch to every projection through the same runner as the follower's.
Keeps: P7 by the sinks' progress alone; nothing here relies on Kafka's or Faust's own promises.
Does not: know the settings' defaults and limits (`gatewayz worker` hands all of them on by the
environment), decide anything, or write to the log.
"""
