#!/bin/sh
# Grants what kpi_app needs of a Kafka with an authorizer: each role by itself, and nothing more (docs/security.md has
# the table). Safe to run again; ACTION=--remove takes the same away.
#
#   export KPI_BROKERS=kafka.example:9093 KPI_TOPIC=access-log
#   export ADMIN_CONFIG=admin.properties    # how an administrator connects; holds a password: mode 0600
#   WORKER=User:kpi-worker SHIPPER=User:kpi-shipper OPERATOR=User:kpi-operator READER=User:kpi-reader \
#       REPLAYER=User:kpi-replayer sh acls.sh
#
# A role without a principal is left out. Kafka's own kafka-acls.sh is to be in PATH, or named by KAFKA_ACLS. With mTLS
# a principal is the certificate's subject, or what the broker's ssl.principal.mapping.rules make of it.
set -eu

topic=${KPI_TOPIC:-access-log}
group=kpi-$topic                      # one consumer group a raw topic
changelog=kpi-$topic-segments-changelog
rejected=$topic-rejected              # the dead letters

allow() {
    "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$KPI_BROKERS" ${ADMIN_CONFIG:+--command-config "$ADMIN_CONFIG"} \
        "${ACTION:---add}" --force --allow-principal "$@"
}

# Read, Write, Delete and Alter have Describe in them.

# Reads the raw lines, keeps its state in the changelog, writes dead letters; makes these three where they are missing,
# and gives the changelog more partitions when the raw topic got more.
if [ "${WORKER:-}" ]; then
    allow "$WORKER" --topic "$topic" --operation Read --operation Create
    allow "$WORKER" --topic "$changelog" --operation Read --operation Write --operation Create --operation Alter
    allow "$WORKER" --topic "$rejected" --operation Write --operation Create
    allow "$WORKER" --group "$group" --operation Read
    # one a partition: kpi-access-log-0, kpi-access-log-1, …
    allow "$WORKER" --transactional-id "$group-" --resource-pattern-type prefixed --operation Write
fi

# `kpi ship`, and Fluent Bit: writes raw lines, reads nothing. Write lets it be idempotent, too.
if [ "${SHIPPER:-}" ]; then
    allow "$SHIPPER" --topic "$topic" --operation Write --operation Create
fi

# `kpi reset`: looks whether workers run, ends replays, deletes what they keep. The raw topic is not its to touch.
if [ "${OPERATOR:-}" ]; then
    allow "$OPERATOR" --topic "$changelog" --topic "$rejected" --operation Delete
    allow "$OPERATOR" --group "$group" --operation Describe
    allow "$OPERATOR" --transactional-id "$group-replay" --operation Write
fi

# `kpi rejected`, and whoever else looks at dead letters, in groups of its own. They hold lines as they came: personal data.
if [ "${READER:-}" ]; then
    allow "$READER" --topic "$rejected" --operation Read
    allow "$READER" --group "$rejected-" --resource-pattern-type prefixed --operation Read
fi

# `kpi rejected --replay`: reads dead letters and their lines, sends these lines again with receipts for the letters. Its
# transactional id has the prefix of the workers' ones, and is another than each of theirs.
if [ "${REPLAYER:-}" ]; then
    allow "$REPLAYER" --topic "$topic" --topic "$rejected" --operation Read --operation Write
    allow "$REPLAYER" --transactional-id "$group-replay" --operation Write
fi
