"""Tests to copy into a project of your own, and a server that ends politely. Each file works alone:

python -m pytest apps/chat/trials
python -m apps.chat.trials.polite_server
"""
