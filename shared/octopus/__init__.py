"""What we know of the product: tables, collection names, migrations, its API, orphans."""
