"""Reads topics with Eclipse paho, in a session that outlives its connection, and prints each message as mosquitto_sub
does: retained, topic, payload."""

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, topic = int(sys.argv[1]), sys.argv[2]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho", protocol=mqtt.MQTTv5)
client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
# From now on it gets what is published.
client.on_subscribe = lambda *_: print(0, "subscribed", "null", flush=True)


def message(_client, _data, got):
    print(int(got.retain), got.topic, got.payload.decode(), flush=True)


client.on_message = message
client.reconnect_delay_set(min_delay=1, max_delay=1)
session = Properties(PacketTypes.CONNECT)
session.SessionExpiryInterval = 3600
client.connect("127.0.0.1", port, clean_start=False, properties=session)
client.loop_forever(retry_first_connection=True)
