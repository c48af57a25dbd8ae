"""How faust is bent: transport, recovery, revoke and commit. Nothing outside this room reaches into faust.

Written against faust-streaming 0.15.3 and aiokafka 0.14.0, which `pyproject.toml` pins exactly;
`tests/stream/test_bend.py` names every private member that is relied on and fails when an upgrade moves one.

    transport   whole fetches instead of single messages (`BatchConsumer`)
    recovery    our own take-over instead of a replay of the changelog, message by message (`TakeOver`)
    revoke      a checkpoint before a partition is given up, instead of forgetting what was acknowledged
    commit      the group's offsets follow the checkpoints, but not while the group is rebalancing; they serve lag
                tools, no state depends on them
    web         connections that ask for nothing are closed after half a minute, not after an hour
"""

from kpi_app.stream.bend.app import BatchSchema, BentApp
from kpi_app.stream.bend.consumer import Batch, Look, Seen
from kpi_app.stream.bend.owner import Owner
from kpi_app.stream.bend.records import Headers, Record, Records
from kpi_app.stream.bend.web import close_idle

__all__ = ["Batch", "BatchSchema", "BentApp", "Headers", "Look", "Owner", "Record", "Records", "Seen", "close_idle"]
