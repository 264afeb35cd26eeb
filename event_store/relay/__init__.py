"""The log on Kafka: envelopes, schemas, and the relay that follows.

Owns: CloudEvents and their JSON Schemas, the relay's position, the producer and the topic.
Keeps: P7 towards consumers: previous positions show every gap.
Does not: delay an append: it only reads.
"""
