"""Stopping on request: once politely, and at once where nothing is lost."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tfgan_robust.cli.signals import (
    StopRequest,
    held,
    keeping_handlers,
    raising_on_sigterm,
)
from tfgan_robust.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, EXIT_TERMINATED)],
)
def test_the_first_signal_is_noted_and_the_second_interrupts(number, code):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop
        stop.raise_if_asked()
        os.kill(os.getpid(), number)
        assert stop and stop.exit_code == code
        with pytest.raises(KeyboardInterrupt) as asked:
            stop.raise_if_asked()
        assert getattr(asked.value, "exit_code", EXIT_INTERRUPTED) == code
        with pytest.raises(KeyboardInterrupt) as again:
            os.kill(os.getpid(), number)
    assert getattr(again.value, "exit_code", EXIT_INTERRUPTED) == code
    assert signal.getsignal(number) is before


def test_sigterm_closes_what_is_open_and_has_an_exit_code_of_its_own():
    before, closed = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(KeyboardInterrupt) as stop, raising_on_sigterm():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            closed.append(True)
    assert closed
    assert stop.value.exit_code == EXIT_TERMINATED
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_is_the_shells_again_whatever_happened_meanwhile():
    before, ctrl_c = map(signal.getsignal, (signal.SIGTERM, signal.SIGINT))
    with pytest.raises(ZeroDivisionError), raising_on_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGINT) is ctrl_c
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_must_be_done_as_a_whole_is_interrupted_after_it(number):
    done = []
    with keeping_handlers(), raising_on_sigterm():
        # Whatever runs the tests in the background has it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            with held():
                os.kill(os.getpid(), number)
                done.append("first")
                os.kill(os.getpid(), number)
                done.append("second")
            done.append("after")
        assert signal.getsignal(number) is before
    assert done == ["first", "second"]


def test_what_was_put_off_is_noted_where_signals_are_noted():
    with StopRequest() as stop:
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            assert not stop
        assert stop.exit_code == EXIT_TERMINATED


def test_an_error_is_not_put_off_and_threads_hold_nothing():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), held():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before

    def work():
        with held():
            return "done"

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == "done"


def test_handlers_that_others_set_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with keeping_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before
