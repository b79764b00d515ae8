"""The bench of the alerts: what they say of healthy months, and how soon they find an incident."""
