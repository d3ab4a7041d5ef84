"""Studies of many runs: pieces done by workers, kept in a folder, and gone on with after whatever ended them."""

from spu.base.progress import Progress as Progress
from spu.studies.campaign.pieces import Workers as Workers
from spu.studies.campaign.pieces import seed_of_piece as seed_of_piece
from spu.studies.campaign.study import Study as Study
from spu.studies.campaign.study import open_study as open_study
from spu.studies.campaign.workers import open_workers as open_workers
