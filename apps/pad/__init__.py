"""A pad: one text that several people edit at the same time, in browsers and in programs.

python -m apps.pad --port 8000
python -m apps.pad --port 8000 --file pad.sqlite    keeps the texts when it ends
"""
