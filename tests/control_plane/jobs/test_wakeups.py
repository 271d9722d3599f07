"""Wake-ups on their way to a broker that may be away: whoever adds a job neither waits nor hears of it."""

from __future__ import annotations

import threading

from control_plane.jobs.celery_app import broker_address, make_app
from control_plane.jobs.job import QUEUES, JobKind
from control_plane.jobs.wakeups import QUIET_S, DirectWaker, ThreadWaker
from tests.control_plane.jobs.making import WORK


class Broker:
    """Takes messages, unless it is away; `hold` keeps the first one waiting."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.tries = 0
        self.away = False
        self.hold = threading.Event()
        self.hold.set()
        self.closed = False

    def send(self, job_id: str, kind: JobKind) -> None:
        self.tries += 1
        self.hold.wait(10)
        if self.away:
            raise ConnectionError("away")
        self.sent.append(job_id)

    def close(self) -> None:
        self.closed = True


def test_a_thread_sends_them_in_order_and_hangs_up() -> None:
    broker = Broker()
    waker = ThreadWaker(lambda: broker)
    for number in range(20):
        waker.wake(str(number), WORK)
    waker.close()
    assert broker.sent == [str(number) for number in range(20)]
    assert broker.closed


def test_what_piles_up_behind_a_broker_that_is_away_is_dropped_and_later_ones_are_sent() -> None:
    broker = Broker()
    broker.away = True
    broker.hold.clear()
    waker = ThreadWaker(lambda: broker)
    for number in range(20):
        waker.wake(str(number), WORK)
    broker.hold.set()
    waker.close()
    assert (broker.sent, broker.closed) == ([], True)
    assert broker.tries <= 2
    broker.away = False
    again = ThreadWaker(lambda: broker)
    again.wake("later", WORK)
    again.close()
    assert broker.sent == ["later"]


def test_a_waker_that_was_never_used_never_opens_anything() -> None:
    ThreadWaker(Broker).close()


def test_the_dispatcher_is_quiet_for_a_while_after_a_failure() -> None:
    broker, now = Broker(), [0.0]
    waker = DirectWaker(broker, clock=lambda: now[0])
    broker.away = True
    for _ in range(3):
        waker.wake("a", WORK)
    assert broker.tries == 1
    broker.away = False
    now[0] += QUIET_S
    waker.wake("b", WORK)
    assert broker.sent == ["b"]


def test_the_app_takes_json_only_acknowledges_early_and_keeps_no_result() -> None:
    conf = make_app("redis://host:6379/0").conf
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")
    assert (conf.task_acks_late, conf.task_ignore_result, conf.result_backend) == (False, True, None)
    assert (conf.worker_prefetch_multiplier, conf.worker_enable_remote_control) == (1, False)
    assert {queue.name for queue in conf.task_queues} == set(QUEUES)


def test_every_broker_has_its_address_and_options() -> None:
    assert broker_address("unix:///a%20b/valkey.sock") == "redis+socket:///a b/valkey.sock"
    assert broker_address("rediss://u:p@host/1") == "rediss://u:p@host/1"
    redis = make_app("unix:///x").conf.broker_transport_options
    assert (redis["unacked_restore_interval"], redis["unacked_restore_throttle"]) == (2, 1)
    assert redis["visibility_timeout"] <= 60
    assert make_app("amqp://host").conf.broker_transport_options["confirm_publish"]
