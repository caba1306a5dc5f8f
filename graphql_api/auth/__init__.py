"""Authentication and authorization: tokens, keys, scopes and trusted hosts."""
