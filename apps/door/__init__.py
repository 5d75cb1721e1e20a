"""A guarded meeting place: who may come in, into which room, and how much of it all they may use.

python -m apps.door --port 8000
python -m apps.door --certificate cert.pem --key key.pem   (then it is https and wss)
python -m apps.door.attacks bomb ws://127.0.0.1:8000/ws    (attacks a server of your own)
"""
