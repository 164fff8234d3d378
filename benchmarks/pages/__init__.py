"""What readers get: tables, comparisons, pictures and the leaderboard."""
