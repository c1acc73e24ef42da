"""Data sets, one in each file: `load` reads the user's files, `built_in` makes a small set, `public` reads TFDS."""
