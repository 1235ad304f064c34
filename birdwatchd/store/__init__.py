"""Keep visits: schema, migrations, the one writer, queries."""
