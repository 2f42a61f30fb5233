"""The grant that all events of an anomaly name: what is known already says so once it is described anew."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0036_sums_of_sources'),
    ]

    operations = [
        migrations.AddField(
            model_name='anomaly',
            name='grant_id',
            field=models.CharField(blank=True, db_default='', default='', help_text='That all of its events name', max_length=200, verbose_name='grant'),
        ),
    ]
