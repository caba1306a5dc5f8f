-- Send a message of a plain Celery caller. ARGV: the push (JSON), its payload.

send(cjson.decode(ARGV[1]), ARGV[2])
