"""Where backups go: devices on disk and in Blob Storage, and the format of what is written there."""
