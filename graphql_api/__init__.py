"""The GraphQL door: Strawberry on FastAPI, over `tasks.engine`; knows nothing of `ml`."""
