"""DynaSplit (arXiv 2410.23881): system, studies and offline phase."""
