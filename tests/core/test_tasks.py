import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import tasks
from core.errors import BadTask


def test_every_task_has_a_route_and_every_actor_one_task() -> None:
    assert set(tasks.TASKS) == set(tasks.Task.__subclasses__())
    actors = [route.actor for route in tasks.TASKS.values()]
    assert len(set(actors)) == len(actors)


def test_a_task_keeps_its_form_in_the_outbox() -> None:
    dumped = tasks.dump(tasks.DeliverWebhook("whd_1"))
    assert dumped == ("deliver_webhook", b'{"delivery_id":"whd_1"}')


@given(st.text())
def test_a_task_survives_the_outbox(delivery_id: str) -> None:
    task = tasks.DeliverWebhook(delivery_id)
    assert tasks.load(*tasks.dump(task)) == task


def test_tasks_name_what_to_do_and_carry_no_content() -> None:
    fields = {field for task in tasks.TASKS for field in task.__struct_fields__}
    assert fields == {
        *("delivery_id", "slug", "version", "notification_id"),
        *("code_id", "withdrawal_id", "export_id", "erasure_id"),
        *("conversion_ids", "network_id", "referral_id", "reclassification_id"),
        *("program_id", "claim_id"),
    }


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("no_such_task", b"{}"),
        ("deliver_webhook", b"{}"),
        ("deliver_webhook", b"{"),
        ("deliver_webhook", b'{"delivery_id":1}'),
        ("deliver_webhook", b'{"delivery_id":"whd_1","more":1}'),
    ],
)
def test_what_is_no_task_is_refused(name: str, payload: bytes) -> None:
    with pytest.raises(BadTask, match=name):
        tasks.load(name, payload)
