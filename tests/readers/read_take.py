"""Reads a take with the readers of others and tells what is in it, as one JSON object on standard output.

Whatever topics the file has: every message is decoded by the schema that the file itself brings along. Fails on the
first thing that is not as the format, or its own schema, wants it.
"""

import hashlib
import json
import sys

from jsonschema import validators
from mcap.decoder import DecoderFactory
from mcap.reader import SeekingReader, make_reader
from mcap_protobuf.decoder import DecoderFactory as ProtobufDecoderFactory


class JsonDecoderFactory(DecoderFactory):
    """Decodes JSON that is valid under its JSON Schema."""

    def decoder_for(self, message_encoding, schema):
        if message_encoding != "json" or schema is None or schema.encoding != "jsonschema":
            return None
        text = json.loads(schema.data)
        validator_class = validators.validator_for(text)
        validator_class.check_schema(text)
        validator = validator_class(text)

        def decode(data):
            message = json.loads(data)
            validator.validate(message)
            return message

        return decode


class Topic:
    """What is told of a topic."""

    def __init__(self):
        self.log_times = []
        self.digest = hashlib.sha256()

    def add(self, log_time, payload):
        self.log_times.append(log_time)
        self.digest.update(payload)

    def told(self):
        return {
            "count": len(self.log_times),
            "first_ns": min(self.log_times),
            "last_ns": max(self.log_times),
            "sha256": self.digest.hexdigest(),
        }


def read(file):
    reader = make_reader(file, validate_crcs=True, decoder_factories=[ProtobufDecoderFactory(), JsonDecoderFactory()])
    assert isinstance(reader, SeekingReader), "the file cannot be sought in"
    summary = reader.get_summary()
    assert summary and summary.chunk_indexes and summary.statistics, "there is no index"
    for schema in summary.schemas.values():
        assert not schema.name.startswith("foxglove.") or schema.encoding == "protobuf", f"{schema.name} is no protobuf"

    topics = {}
    for schema, channel, message, decoded in reader.iter_decoded_messages(log_time_order=False):
        # How a picture is wrapped is nobody's business but its schema's.
        payload = decoded.data if schema.name == "foxglove.CompressedImage" else message.data
        topics.setdefault(channel.topic, Topic()).add(message.log_time, payload)
    told = {name: topic.told() for name, topic in topics.items()}
    count = sum(topic["count"] for topic in told.values())
    assert count == summary.statistics.message_count, f"{count} messages, the index says {summary.statistics}"
    return {"topics": told, "metadata": {record.name: record.metadata for record in reader.iter_metadata()}}


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as take:
        print(json.dumps(read(take)))
