"""A film that is drawn while you watch: pictures, sound and uploads over WebSockets, and a page.

python -m apps.video --port 8000
"""
