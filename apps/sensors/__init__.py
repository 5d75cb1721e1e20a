"""Readings of a fleet of sensors, stored once and never lost: the devices, the collector and its page.

python -m apps.sensors --port 8000
python -m apps.sensors.device --url ws://127.0.0.1:8000 --count 10 --name attic
"""
