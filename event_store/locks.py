"""Every advisory lock of the database, with its number.

PostgreSQL knows advisory locks by number alone, so two uses of one number would wait for each
other without a word. SQL cannot import this list: migrations write the number itself, and a test
compares them with what stands here.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Lock(IntEnum):
    """What each lock protects. 4716261 was the sweeper's, which needs none: never use it again."""

    APPEND = 4716259
    """Every insert into the log, until its transaction ends: positions appear in order (P7)."""
    MIGRATION = 4716260
    """One session migrates while the others wait, so that no table is made twice at once."""
    FOLLOWER = 4716262
    """One follower projects the log of a database; the others stand by."""
    INSTALL = 4716263
    """One session brings the projections to their present revision."""
    REBUILD = 4716264
    """One rebuild of a projection; the second key is the hash of its name."""
    RELAY = 4716265
    """One relay is active for a topic; the second key is the checksum of its name."""
    LISTENERS = 4716266
    """Held in share mode by whoever sleeps until an append; without one nobody is notified."""
    KEYS = 4716271
    """Commands on the keys of one user, one after the other; the second key is the user's hash."""
    COUPONS = 4716281
    """Commands on one coupon, one after the other; the second key is the hash of its code."""
    PLANS = 4716282
    """Commands on the plan of one user, one after the other; the second key is the user's hash."""
    MANAGERS = 4716291
    """One host runs a process manager; the second key is the hash of its name."""
    REFERRALS = 4716292
    """Claims of referral codes, one after the other: none may close a circle that another opens."""
    INBOX = 4716293
    """One process takes what Stripe told at a time, so that no two have one object's events."""
    MAINTENANCE = 4716294
    """Commands on maintenance windows and on the monitor, one after the other."""
    FILES = 4716298
    """Uploads of one account, one after the other; the second key is the account's hash."""
