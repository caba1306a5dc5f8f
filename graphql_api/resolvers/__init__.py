"""The resolvers of queries, mutations and subscriptions, and how their errors are reported."""
