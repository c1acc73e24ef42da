"""Tasks that people have: each takes the user's own file, trains, evaluates, shows, predicts and exports."""
