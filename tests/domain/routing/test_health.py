"""How offers have been doing: small stories."""

from __future__ import annotations

from domain.routing.health import BreakerLimits, BreakerState, OfferHealth, Standing

LIMITS = BreakerLimits(failures=3, open_ms=1_000, successes=2, cool_down_ms=500)


def test_a_breaker_opens_probes_and_closes() -> None:
    """Open after so many failures, one probe at a time, closed by successes (rule: routing)."""
    health = OfferHealth(LIMITS)
    for _ in range(2):
        health.failed(0)
    assert health.standing(0) is Standing.GOOD
    health.failed(0)
    assert (health.state(0), health.standing(999)) == (BreakerState.OPEN, Standing.BROKEN)
    assert (health.state(1_000), health.standing(1_000)) == (
        BreakerState.HALF_OPEN,
        Standing.GOOD,
    )
    health.begin(1_000)
    assert health.standing(1_000) is Standing.BROKEN, "others wait for the probe"
    health.failed(1_100)
    assert health.state(2_000) is BreakerState.OPEN
    for at in (2_100, 2_200):
        health.begin(at)
        health.succeeded(5)
    assert health.state(2_200) is BreakerState.CLOSED


def test_a_probe_that_ends_by_somebody_elses_fault_frees_its_place() -> None:
    """The next caller probes; a closed breaker has no probe at all (P12)."""
    health = OfferHealth(LIMITS)
    health.begin(0)
    assert health.standing(0) is Standing.GOOD
    for _ in range(3):
        health.failed(0)
    health.begin(1_000)
    assert health.standing(1_000) is Standing.BROKEN
    health.neutral()
    assert (health.state(1_000), health.standing(1_000)) == (
        BreakerState.HALF_OPEN,
        Standing.GOOD,
    )


def test_success_forgets_earlier_failures() -> None:
    """Only consecutive failures open a breaker (rule: routing)."""
    health = OfferHealth(LIMITS)
    for _ in range(5):
        health.failed(0)
        health.failed(0)
        health.succeeded(5)
    assert health.untroubled


def test_a_cool_down_lasts_as_long_as_the_provider_says() -> None:
    """429 with Retry-After, without it, and with a foolish one (rule: routing, rule: bounded)."""
    for told, until in ((2_000, 2_000), (None, 500), (10**12, LIMITS.cool_down_max_ms)):
        health = OfferHealth(LIMITS)
        health.limited(0, told)
        assert health.standing(until - 1) is Standing.COOLING
        assert health.standing(until) is Standing.GOOD


def test_latency_is_an_average_that_follows() -> None:
    """An eighth of the distance a time, in whole milliseconds (rule: routing)."""
    health = OfferHealth(LIMITS)
    health.succeeded(100)
    health.succeeded(180)
    assert health.latency_ms == 110
