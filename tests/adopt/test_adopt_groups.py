"""Members of a group of the consumer protocol go on where the directory goes: to Keelson and back."""

import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from adopt_case import AdoptCase  # noqa: E402
from lib import admin, wire  # noqa: E402
from lib.options import main  # noqa: E402

GROUP = "moved"


class Groups(AdoptCase):
    def described(self, broker):
        with wire.Client(broker.port) as client:
            group = client.call("ConsumerGroupDescribe", 1, group_ids=[GROUP])["groups"][0]
        members = {member["member_id"]: (
            member["member_epoch"], member["instance_id"], member["subscribed_topic_names"],
            member["subscribed_topic_regex"], member["assignment"], member["target_assignment"])
            for member in group["members"]}
        return (group["error_code"], group["group_state"], group["group_epoch"],
                group["assignment_epoch"], members)

    def beat(self, broker, member, **fields):
        with wire.Client(broker.port) as client:
            answer = client.call("ConsumerGroupHeartbeat", 1, group_id=GROUP, member_id=member,
                                 **fields)
        self.assertEqual(answer["error_code"], 0, answer)
        return answer

    def found(self, broker):
        with wire.Client(broker.port) as client:
            client.call("FindCoordinator", 4, key_type=0, coordinator_keys=[GROUP])
        admin.wait_until(lambda: self.described(broker)[0] == 0, "the group")
        return self.described(broker)

    def test_there_and_back(self):
        names = {"one": {"instance_id": "i-1", "subscribed_topic_names": ["moving"]},
                 "two": {"subscribed_topic_names": [], "subscribed_topic_regex": "mov.*"}}
        ids = {name: str(uuid.uuid4()) for name in names}
        epochs = {}
        with self.kafka(group_consumer_assignment_interval_ms="0") as kafka:
            admin.create(kafka.port, "moving", partitions=4)
            with wire.Client(kafka.port) as client:
                admin.wait_until(lambda: client.call(
                    "FindCoordinator", 4, key_type=0,
                    coordinator_keys=[GROUP])["coordinators"][0]["error_code"] == 0, "coordinator")
                admin.wait_until(lambda: client.call("ConsumerGroupDescribe", 1, group_ids=[GROUP])[
                    "groups"][0]["error_code"] == 69, "a loaded partition")
            owned = {name: [] for name in names}

            def settle():
                for name, wants in names.items():
                    more = {"instance_id": wants["instance_id"]} if "instance_id" in wants else {}
                    more |= wants | {"rebalance_timeout_ms": 60_000} if name not in epochs else {}
                    answer = self.beat(kafka, ids[name], member_epoch=epochs.get(name, 0),
                                       topic_partitions=owned[name], **more)
                    epochs[name] = answer["member_epoch"]
                    if answer["assignment"] is not None:
                        owned[name] = answer["assignment"]["topic_partitions"]
                return (self.described(kafka)[1] == "Stable" and
                        all(sum(len(t["partitions"]) for t in has) == 2 for has in owned.values()))

            admin.wait_until(settle, "two partitions each", 30)
            before = self.described(kafka)
        with self.keelson("--adopt") as keelson:
            self.assertEqual(self.found(keelson), before)
            # Its hash of the topics is another one: the group looks once more, and nothing moves.

            def settle_again():
                for name, wants in names.items():
                    more = {"instance_id": wants["instance_id"]} if "instance_id" in wants else {}
                    answer = self.beat(keelson, ids[name], member_epoch=epochs[name],
                                       topic_partitions=owned[name], **more)
                    epochs[name] = answer["member_epoch"]
                return self.described(keelson)[1] == "Stable"

            admin.wait_until(settle_again, "a stable group")
            after = self.described(keelson)
            for member, shown in after[4].items():
                self.assertEqual(shown[1:], before[4][member][1:])
        with self.kafka() as kafka:
            self.assertEqual(self.found(kafka), after)


if __name__ == "__main__":
    main()
