"""The forms that figures take, for every channel: CSV, a chart, a page."""
