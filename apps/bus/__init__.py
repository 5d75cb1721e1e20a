"""Messages between processes, carried by an engine: Valkey or Redis, NATS, or memory.

python -m apps.bus redis      # starts a Valkey; `nats` starts a NATS
"""
