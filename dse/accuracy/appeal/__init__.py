"""A network that knows when to ask: a small one with a second head, and a large one behind a link.

After AppealNet (Li, Li, Tian, Jiang, Xu, DAC 2021, arXiv 2105.04104); none of its code is used.
`routers`, `curve` and `archive` need numpy alone; `losses`, `two_heads` and the pairs need torch.
"""
