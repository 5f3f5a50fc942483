"""What must hold. Each module here registers its cells."""
