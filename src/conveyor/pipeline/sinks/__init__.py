"""Where items end."""
