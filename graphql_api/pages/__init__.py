"""The pages that the API serves, built from npm packages."""
