"""Pages for readers: tables, comparisons, pictures and the leaderboard."""
