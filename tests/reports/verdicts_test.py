"""Audits as people read them."""

from tfgan_robust.reports.verdicts import (
    WITHOUT_UNDEFENDED,
    Check,
    format_audit,
    nothing_to_check,
    overall,
)


def made(*verdicts):
    return [
        Check(f"check_{'x' * i}", verdict, {}, f"message {i}")
        for i, verdict in enumerate(verdicts)
    ]


def test_the_worst_verdict_counts():
    assert overall(made("PASS", "WARN", "PASS")) == "WARN"
    assert overall(made("PASS", "FAIL", "WARN")) == "FAIL"
    assert overall(made("PASS")) == "PASS"


def test_an_audit_without_checks_proves_nothing():
    assert overall([]) == "WARN"
    assert format_audit([]) == "audit: WARN (nothing checked)"


def test_an_audit_is_laid_out_for_people():
    assert format_audit(made("PASS", "FAIL", "WARN", "PASS")).splitlines() == [
        "audit: FAIL (1 FAIL, 1 WARN, 2 PASS)",
        "  PASS  check_     message 0",
        "  FAIL  check_x    message 1",
        "  WARN  check_xx   message 2",
        "  PASS  check_xxx  message 3",
    ]
    assert format_audit(made("PASS")).startswith("audit: PASS (1 PASS)\n")


def test_a_verdict_for_want_of_an_undefended_network_says_so():
    missing = f"{WITHOUT_UNDEFENDED}: give `undefended`"
    lacking = [
        Check("transfer", "WARN", {}, missing),
        Check("undefended", "WARN", {}, missing),
    ]
    said = "; only because no undefended network was at hand)"
    first, *_ = format_audit([*made("PASS"), *lacking]).splitlines()
    assert first == f"audit: WARN (2 WARN, 1 PASS{said}"
    for doubt in ("WARN", "FAIL"):
        assert said not in format_audit([*made(doubt), *lacking])
    assert said not in format_audit(made("PASS"))


def test_a_check_that_looked_at_nothing_is_not_counted_as_passed():
    idle = Check("reloaded", *nothing_to_check("there is no file"))
    assert not idle.was_made and idle.verdict == "PASS"
    first, *_ = format_audit([*made("PASS"), idle]).splitlines()
    assert first == "audit: PASS (1 PASS, 1 not checked)"
    first, *_ = format_audit([*made("WARN"), idle]).splitlines()
    assert first == "audit: WARN (1 WARN, 1 not checked)"
