"""Magpies: a game for 2 to 16 people in one arena, its server, its page, and bots to play against.

python -m apps.game --bots 3
python -m apps.game --lan
"""
