"""Real servers for the tests: found, fetched or started in containers; never mocked."""
