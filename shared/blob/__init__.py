"""Moving bytes to and from Blob Storage: streamed, hashed, in constant memory."""
