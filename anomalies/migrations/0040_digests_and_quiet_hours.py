"""When a channel is told, and what is sent together."""

import anomalies.models.channel
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0039_anomalies_by_their_deltas'),
    ]

    operations = [
        migrations.AddField(
            model_name='channel',
            name='digest_at',
            field=models.CharField(default='09:00', help_text='Of a daily digest, in the time zone', max_length=5),
        ),
        migrations.AddField(
            model_name='channel',
            name='pace',
            field=models.CharField(choices=[('at_once', 'at once'), ('hourly', 'in a digest each hour'), ('daily', 'in a digest each day')], default='at_once', max_length=10),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_days',
            field=models.JSONField(blank=True, default=anomalies.models.channel.each_day, help_text='On which they begin; 0 is Monday'),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_from',
            field=models.CharField(blank=True, default='', help_text='Empty: no quiet hours', max_length=5),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_to',
            field=models.CharField(blank=True, default='', help_text='Not after its start: of the next day', max_length=5),
        ),
        migrations.AddField(
            model_name='channel',
            name='time_zone',
            field=models.CharField(default='UTC', help_text='IANA name; of the digest and the quiet hours', max_length=64),
        ),
        migrations.AddField(
            model_name='channel',
            name='urgent_at_once',
            field=models.BooleanField(default=False, help_text='High severity waits for nothing'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='digest',
            field=models.CharField(blank=True, default='', help_text='Under which it is sent with others', max_length=40),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('digest', ''), _negated=True), fields=['digest', 'id'], name='delivery_of_digest'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(('pace__in', ['at_once', 'hourly', 'daily'])), name='channel_pace_known'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('quiet_from', ''), ('quiet_to', '')), models.Q(('quiet_from', ''), ('quiet_to', ''), _connector='OR', _negated=True), _connector='OR'), name='channel_quiet_hours_end'),
        ),
    ]
