"""Embeds: how a feature map enters a stage; one file is one kind."""
