"""Another client of the broker: binds queues, and reads back what was published, as JSON.

amqp_client.py PORT VHOST bind EXCHANGE QUEUE KEY
amqp_client.py PORT VHOST drop-exchange EXCHANGE
amqp_client.py PORT VHOST read QUEUE COUNT
"""

import json
import sys

import pika

port, vhost, verb, *rest = sys.argv[1:]
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port), vhost))
channel = connection.channel()
if verb == "bind":
    exchange, queue, key = rest
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, exchange, key)
elif verb == "drop-exchange":
    channel.exchange_delete(rest[0])
elif verb == "read":
    queue, count = rest[0], int(rest[1])
    messages = []
    for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=50):
        if method is None:
            sys.exit(f"only {len(messages)} of {count} came")
        own = {name: getattr(properties, name) for name in
               ("content_type", "headers", "delivery_mode", "message_id", "timestamp")}
        messages.append(own | {"routing_key": method.routing_key, "exchange": method.exchange, "body": body.decode()})
        if len(messages) == count:
            break
    left = channel.queue_declare(queue, passive=True).method.message_count
    print(json.dumps({"messages": messages, "left": left}))
connection.close()
