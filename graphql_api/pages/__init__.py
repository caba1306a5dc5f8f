"""Web pages that the API serves; they are built from npm packages."""
