"""The GraphQL door: Strawberry on FastAPI, over `celeryql`; knows nothing of `ml`."""
